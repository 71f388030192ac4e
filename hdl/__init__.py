"""What is built: Amaranth components. Of :mod:`model` only ``model.spec`` may be imported here."""
