"""The quantiser: 16-bit KV to OCP MX formats or INT4, and back, a beat a clock."""
