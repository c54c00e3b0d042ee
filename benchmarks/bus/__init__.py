"""The bus beside other buses."""
