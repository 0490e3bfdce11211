"""The words of the product: pure values and pure decisions. Standard library only, no I/O, no clock."""
