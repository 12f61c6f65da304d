"""What is asked and told of an image: queries, questions, the summary. Imports `language`, `geometry`, `relevance`."""
