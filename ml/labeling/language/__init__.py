"""English: captions read as noun phrases, and what two captions agree on. Imports nothing of the house."""
