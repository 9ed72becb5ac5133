"""
The subcommands of C{twisted-rpc}, one a file.
"""
