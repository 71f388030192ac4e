"""The multiply-accumulate unit beside a PIM bank."""
