/*
 * A client that costs next to nothing: add(5, 3) over and over, on so many
 * connections, so many of them in flight on each.
 *
 *   load HOST PORT CONNECTIONS INFLIGHT WARM SECONDS
 *
 * Speaks the extended profile (a hello, then calls with a session's numbers,
 * acknowledged as they are answered), and looks at each answer: its id must be
 * the oldest that is open, its result 8.  Prints one JSON object:
 *
 *   {"calls": 123456, "seconds": 2.000, "cpu": 0.210}
 *
 * All connections are one thread's, with epoll, so Linux only.  It makes no
 * allocation while it measures, and writes the calls of one turn at once.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_SIZE (256 * 1024)
#define OUT_SIZE (256 * 1024)
#define CALL_SIZE 320

struct connection {
    int fd;
    char session[72];
    unsigned long sent, answered;
    size_t in_size, out_size, out_done;
    char in[IN_SIZE], out[OUT_SIZE];
};

static int writable_wanted(const struct connection *c) { return c->out_done < c->out_size; }

static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static size_t frame_length(const char *in)
{
    uint32_t length;
    memcpy(&length, in, 4);
    return ntohl(length);
}

/* Put one frame into the output; its body is already behind the length. */
static void sealed(struct connection *c, int size)
{
    uint32_t length = htonl((uint32_t)size);
    memcpy(c->out + c->out_size, &length, 4);
    c->out_size += 4 + (size_t)size;
}

static void call(struct connection *c)
{
    c->sent++;
    sealed(c, snprintf(c->out + c->out_size + 4, CALL_SIZE,
        "{\"request_id\":\"%s:%lu\",\"method\":\"add\",\"params\":[5,3],"
        "\"timestamp\":1800000000.25,\"service\":\"Benchmark\","
        "\"ext\":{\"timeout\":30000,\"ack\":%lu}}",
        c->session, c->sent, c->answered + 1));
}

static void flush(struct connection *c)
{
    while (c->out_done < c->out_size) {
        ssize_t n = send(c->fd, c->out + c->out_done, c->out_size - c->out_done, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN)
                return;
            fail("send: %s", strerror(errno));
        }
        c->out_done += (size_t)n;
    }
    c->out_done = c->out_size = 0;
}

/* The answer must be that of the oldest call: the server answers add at once. */
static void check(struct connection *c, const char *body, size_t size)
{
    char expected[160];
    int n = snprintf(expected, sizeof expected, "{\"request_id\":\"%s:%lu\",\"result\":8,",
        c->session, c->answered + 1);
    if (size < (size_t)n || memcmp(body, expected, (size_t)n))
        fail("not the answer of call %lu: %.*s", c->answered + 1, (int)size, body);
}

/* Take what has come; returns how many answers. */
static unsigned long receive(struct connection *c)
{
    unsigned long answers = 0;
    size_t offset = 0;
    ssize_t n = recv(c->fd, c->in + c->in_size, IN_SIZE - c->in_size, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0)
        fail("the server has closed a connection%s%s", n ? ": " : "", n ? strerror(errno) : "");
    c->in_size += (size_t)n;
    while (c->in_size - offset >= 4) {
        size_t size = frame_length(c->in + offset);
        if (size > IN_SIZE - 4)
            fail("a frame of %zu bytes", size);
        if (c->in_size - offset < 4 + size)
            break;
        check(c, c->in + offset + 4, size);
        c->answered++;
        answers++;
        offset += 4 + size;
    }
    memmove(c->in, c->in + offset, c->in_size - offset);
    c->in_size -= offset;
    return answers;
}

static void hello(struct connection *c)
{
    size_t size = 0, whole = 4;
    const char *found;
    sealed(c, snprintf(c->out + 4, CALL_SIZE,
        "{\"request_id\":\"$hello\",\"method\":\"hello\",\"params\":[{\"versions\":[1]}],"
        "\"timestamp\":1800000000.25,\"service\":\"$rpc\"}"));
    flush(c);
    while (size < whole) {
        ssize_t n = recv(c->fd, c->in + size, IN_SIZE - 1 - size, 0);
        if (n <= 0)
            fail("no answer to hello");
        size += (size_t)n;
        if (size >= 4)
            whole = 4 + frame_length(c->in);
    }
    c->in[size] = 0;
    found = strstr(c->in + 4, "\"session\":\"");
    if (!found || sscanf(found, "\"session\":\"%64[A-Za-z0-9_-]\"", c->session) != 1)
        fail("no session: %s", c->in + 4);
}

static struct connection *connected(const char *host, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct connection *c = calloc(1, sizeof *c);
    int one = 1;
    if (!c)
        fail("no memory");
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        fail("%s is no IPv4 address", host);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address))
        fail("connect: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    hello(c);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return c;
}

static unsigned long turn(int epoll, int inflight)
{
    struct epoll_event events[256];
    unsigned long answers = 0;
    int n = epoll_wait(epoll, events, 256, 5000);
    if (n == 0)
        fail("no answer for 5 s");
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        int waited = writable_wanted(c);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            answers += receive(c);
        while (c->sent - c->answered < (unsigned long)inflight && c->out_size + CALL_SIZE < OUT_SIZE)
            call(c);
        flush(c);
        if (waited != writable_wanted(c)) {
            struct epoll_event event = {.events = EPOLLIN | (waited ? 0 : EPOLLOUT), .data.ptr = c};
            epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
        }
    }
    return answers;
}

static unsigned long run(int epoll, int inflight, double seconds)
{
    unsigned long answers = 0;
    for (double end = now(CLOCK_MONOTONIC) + seconds; now(CLOCK_MONOTONIC) < end;)
        answers += turn(epoll, inflight);
    return answers;
}

int main(int argc, char **argv)
{
    int epoll = epoll_create1(0), connections, inflight;
    if (argc != 7)
        fail("usage: load HOST PORT CONNECTIONS INFLIGHT WARM SECONDS");
    connections = atoi(argv[3]);
    inflight = atoi(argv[4]);
    if (connections < 1 || inflight < 1 || inflight > 256)
        fail("connections from 1, in flight from 1 to 256");
    for (int i = 0; i < connections; i++) {
        struct connection *c = connected(argv[1], atoi(argv[2]));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
        for (int j = 0; j < inflight; j++)
            call(c);
        flush(c);
    }
    run(epoll, inflight, atof(argv[5]));
    double began = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    unsigned long calls = run(epoll, inflight, atof(argv[6]));
    printf("{\"calls\": %lu, \"seconds\": %.6f, \"cpu\": %.6f}\n", calls,
        now(CLOCK_MONOTONIC) - began, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    return 0;
}
