"""What uses it: traces, models, policies, systems, the serving engine and the report."""
