// Origin for counting instructions: horigin PORT. One thread; every GET gets 8 response headers and a 64-byte
// body. Closes after a request with "Connection: close". Heads must not be cut over segments, as they are not
// on loopback.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
static char resp[1024];
static int rl;
static char buf[1 << 16];
int main(int ac, char **av) {
    int port = atoi(av[1]);
    char body[65];
    memset(body, 'x', 64);
    body[64] = 0;
    rl = sprintf(resp,
                 "HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nDate: Tue, 24 Nov 2026 16:10:00 "
                 "GMT\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 64\r\nConnection: "
                 "keep-alive\r\nETag: \"5f3e1a2b-40\"\r\nCache-Control: private, max-age=0, "
                 "must-revalidate\r\nVary: Accept-Encoding\r\n\r\n%s",
                 body);
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
    if (bind(l, (void *)&sa, sizeof sa) || listen(l, 1024)) {
        perror("bind");
        return 1;
    }
    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = l}, ev[256];
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
    for (;;) {
        int n = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = ev[i].data.fd;
            if (fd == l) {
                int c = accept4(l, 0, 0, SOCK_NONBLOCK);
                if (c < 0) {
                    continue;
                }
                setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                e.events = EPOLLIN;
                e.data.fd = c;
                epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
                continue;
            }
            long k = read(fd, buf, sizeof buf);
            if (k <= 0) {
                if (k < 0 && errno == EAGAIN) {
                    continue;
                }
                close(fd);
                continue;
            }
            int cnt = 0;
            char *p = buf, *q;
            char *end = buf + k;
            while ((q = memmem(p, end - p, "\r\n\r\n", 4))) {
                cnt++;
                p = q + 4;
            }
            for (int j = 0; j < cnt; j++) {
                if (write(fd, resp, rl) != rl) {
                    perror("w");
                }
            }
            if (cnt && memmem(buf, k, "Connection: close", 17)) {
                close(fd);
            }
        }
    }
}
