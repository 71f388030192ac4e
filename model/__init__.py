"""What is true: the specification (``model.spec``) and the golden models (``model.golden``)."""
