"""Makes bundles: ONNX graphs, text prototypes, golden vectors, and the parity that lets anyone trust them."""
