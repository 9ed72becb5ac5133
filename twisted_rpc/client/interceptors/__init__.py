"""
What stands between a proxy and the pool, where it is switched on.

Each is an L{Interceptor<twisted_rpc.call.Interceptor>} in a file of its own;
L{twisted_rpc.client.interceptors.chain} says which a method has, and in which
order.
"""
