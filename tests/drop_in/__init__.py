"""VMINet in the place of the backbone of other people's configs: does everything still run?"""
