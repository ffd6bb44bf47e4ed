"""The pipeline's own tables, and every statement on them."""
