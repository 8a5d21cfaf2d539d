"""Questions about a diary in words: a language model that the user names writes queries, the database computes, and the answer is checked.

`endpoint` speaks the protocol, `queries` runs what `permitted` allows and nothing else, `figures` looks for the answer's numbers in the rows that
came back, `conversation` is the loop. Nothing is sent anywhere but to the endpoint, and nothing but the question, the description of the views, and
the rows that the model asked for.
"""
