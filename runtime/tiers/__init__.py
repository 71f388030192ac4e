"""Where KV blocks live, and what moves them."""
