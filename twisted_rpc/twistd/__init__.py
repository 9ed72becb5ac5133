"""
What C{twistd rpc} is made of, beside its options (L{twisted_rpc._tap}).
"""
