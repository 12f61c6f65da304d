"""English: captions read as noun phrases, what captions agree on, what a query speaks of. Imports `geometry`."""
