// What the peers call, as Thrift declares it.

struct Order {
    1: i64 number
    2: string customer
    3: string note
    4: double total
    5: bool paid
    6: i64 placed
    7: list<string> articles
    8: list<i64> quantities
}

service Benchmark {
    i64 add(1: i64 a, 2: i64 b)
    string echo(1: string text)
    Order store(1: Order order)
}
