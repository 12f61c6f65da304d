"""`arrcoc tune`: studies over the params of training. Imports `orchestration.runs` and what lies below."""
