"""CLIP's tokenizer, as open_clip has it, in the form that the package tokenizers reads: on a device there is no open_clip.

Byte pairs of lower-cased words, `</w>` at the end of each (Radford et al. 2021, arXiv:2103.00020). Text that was decoded wrongly is not
mended, as open_clip does with ftfy; entities of HTML are for `aura_edge.text.exported` to read.
"""

from __future__ import annotations

from typing import Any

from aura_edge.errors import ParityError, require

PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
"""What is one word."""


def clip_tokens(tokenizer: Any) -> str:
    """JSON of it. Raises `ParityError` for a tokenizer that is not CLIP's own."""
    tokenizers = require("tokenizers", extra="export")
    from tokenizers import models, normalizers, pre_tokenizers, processors

    cleaning = getattr(getattr(tokenizer, "clean_fn", None), "__name__", "none")
    if not hasattr(tokenizer, "bpe_ranks") or cleaning != "_clean_lower" or tokenizer.reduction_fn is not None:
        raise ParityError(
            f"the text tower's tokenizer is {type(tokenizer).__name__} with cleaning {cleaning}; only CLIP's own can be exported. Embed labels "
            "where open_clip is: aura-edge prototypes."
        )
    special = {tokenizer.sot_token_id, tokenizer.eot_token_id}
    start, end = (tokenizer.decoder[number] for number in sorted(special))
    written = tokenizers.Tokenizer(
        models.BPE(
            dict(tokenizer.encoder), list(tokenizer.bpe_ranks), end_of_word_suffix="</w>", continuing_subword_prefix=""
        )
    )
    written.normalizer = normalizers.Sequence(
        [normalizers.Replace(tokenizers.Regex(r"\s+"), " "), normalizers.Strip(), normalizers.Lowercase()]
    )
    written.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(PATTERN), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    written.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, tokenizer.sot_token_id), (end, tokenizer.eot_token_id)]
    )
    written.enable_truncation(tokenizer.context_length)
    written.enable_padding(length=tokenizer.context_length, pad_id=0, pad_token=tokenizer.decoder[0])
    text: str = written.to_str()
    return text
