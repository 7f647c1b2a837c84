"""Statements about artifacts, signed: who says so can be checked by everybody who has the public key."""
