"""Fixes for models of other configs, none of which VMINet needs."""
