"""RefCOCO, RefCOCO+ and RefCOCOg: refs and instances as distributed, exports, kinds of expressions."""
