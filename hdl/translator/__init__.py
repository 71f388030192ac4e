"""The layered address translator: KV block -> chunk -> place in the stack."""
