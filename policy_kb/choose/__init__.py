"""Which policy decides: knowledge bases, the editions in them, and the choice among these."""
