"""Labels from frozen models and geometry alone: captions, phrases, relations, queries, questions, relevance."""
