"""An answer's way: bytes -> frames -> events -> answer. No I/O."""
