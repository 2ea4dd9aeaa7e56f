"""The rules of the house, executable. Each checker is tried on bad samples, too."""
