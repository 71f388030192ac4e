"""What a run did, for people: a timeline, where KV lived, and what bounded each system."""
