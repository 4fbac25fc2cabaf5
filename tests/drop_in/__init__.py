"""VMINet in place of the backbone of other people's configs: does everything still run?"""
