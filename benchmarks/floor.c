/*
 * What a call costs where there is nothing but the kernel: 160 bytes there and
 * 90 back on each of many connections, over and over, between two processes on
 * one core.  Neither looks at what it reads.
 *
 *   floor CORE CONNECTIONS CALLS
 *
 * Prints microseconds of CPU a call of each end as a JSON object:
 *
 *   {"server": 5.170, "client": 5.180}
 *
 * Linux only: epoll, and a core that is chosen.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REQUEST 160
#define REPLY 90
#define EVENTS 1024

static char bytes[4096];

static void check(long outcome, const char *what)
{
    if (outcome >= 0)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    int one = 1;
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "setsockopt");
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

/* Answer each message with one of so many bytes; returns microseconds a call. */
static double answer(int epoll, size_t size, long calls)
{
    static struct epoll_event events[EVENTS];
    double began = cpu();
    for (long done = 0; done < calls;) {
        int n = epoll_wait(epoll, events, EVENTS, 5000);
        if (n <= 0)
            check(-1, "no message for 5 s");
        for (int i = 0; i < n; i++, done++) {
            check(recv(events[i].data.fd, bytes, sizeof bytes, 0), "recv");
            check(send(events[i].data.fd, bytes, size, MSG_NOSIGNAL), "send");
        }
    }
    return (cpu() - began) / calls;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    struct rlimit files;
    cpu_set_t core;
    double server, client;
    int listening, epoll, result[2], connections;
    pid_t child;
    long calls;
    if (argc != 4) {
        fputs("usage: floor CORE CONNECTIONS CALLS\n", stderr);
        return 1;
    }
    connections = atoi(argv[2]);
    calls = atol(argv[3]);
    CPU_ZERO(&core);
    CPU_SET(atoi(argv[1]), &core);
    check(sched_setaffinity(0, sizeof core, &core), "sched_setaffinity");
    check(getrlimit(RLIMIT_NOFILE, &files), "getrlimit");
    files.rlim_cur = files.rlim_max;
    check(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
    check(listening = socket(AF_INET, SOCK_STREAM, 0), "socket");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(bind(listening, (struct sockaddr *)&address, sizeof address), "bind");
    check(listen(listening, connections), "listen");
    check(getsockname(listening, (struct sockaddr *)&address, &size), "getsockname");
    check(pipe(result), "pipe");
    check(child = fork(), "fork");
    if (child == 0) {
        check(epoll = epoll_create1(0), "epoll_create1");
        for (int i = 0; i < connections; i++) {
            int fd = accept(listening, NULL, NULL);
            check(fd, "accept");
            watch(epoll, fd);
        }
        server = answer(epoll, REPLY, calls);
        check(write(result[1], &server, sizeof server), "write");
        /* The client still reads. */
        pause();
        return 0;
    }
    check(epoll = epoll_create1(0), "epoll_create1");
    for (int i = 0; i < connections; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        check(fd, "socket");
        check(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
        watch(epoll, fd);
        check(send(fd, bytes, REQUEST, MSG_NOSIGNAL), "send");
    }
    client = answer(epoll, REQUEST, calls);
    if (read(result[0], &server, sizeof server) != sizeof server)
        check(-1, "read");
    kill(child, SIGKILL);
    wait(NULL);
    printf("{\"server\": %.3f, \"client\": %.3f}\n", server, client);
    return 0;
}
