/* A ZooKeeper server that costs almost nothing, to show what a client itself costs.
 *
 * Rule: every answer is made without a tree, in well under a microsecond, from the request alone.
 *   get        100 bytes; 900,000 for a path that ends in "/big"
 *   children   10,000 names of one length for a path that ends in "/kids", none for any other
 *   create     the path it was asked for, with a counter appended when the flags say sequential
 *   exists, set   a constant Stat;   delete, sync, ping, closeSession   success
 *   anything else   UNIMPLEMENTED (-6)
 * In place of a first frame it takes the word srvr, which aiozk asks before it connects.
 *
 * One thread per connection with blocking calls: a ping-pong costs the server one recv and one send, and all
 * requests that came in one recv are answered by one send. It keeps no sessions, fires no watches, and stops
 * reading while its peer does not take answers; a real server does not, so this one is for benchmarks only.
 *
 *     nullserver        listens on a free port of 127.0.0.1, prints the port, ends when its stdin ends
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0                  /* macOS: SIGPIPE is ignored for the whole process anyway */
#endif

enum {
    STAT_SIZE = 68, HEADER_SIZE = 16, SMALL = 100, BIG = 900000,
    KIDS = 10000, KID_LENGTH = 16,          /* "child-" and ten digits, like a sequence node */
    MAX_REQUEST = 1 << 20, READ_SIZE = 1 << 16, SEND_AT = 1 << 18
};

struct buffer { unsigned char *bytes; size_t used, size; };

static _Atomic int64_t last_zxid = 1000, next_session = 0x100000000000001;
static unsigned char stat_record[STAT_SIZE], *kids_record, *big_data;
static size_t kids_size;

static unsigned char *put32(unsigned char *p, uint32_t v) {
    p[0] = v >> 24; p[1] = v >> 16; p[2] = v >> 8; p[3] = v;
    return p + 4;
}

static unsigned char *put64(unsigned char *p, uint64_t v) { return put32(put32(p, v >> 32), (uint32_t)v); }

static uint32_t get32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void *need(void *p) {
    if (!p) { perror("nullserver"); exit(1); }
    return p;
}

static unsigned char *grow(struct buffer *b, size_t more) {
    if (b->used + more > b->size) {
        b->size = 2 * (b->used + more);
        b->bytes = need(realloc(b->bytes, b->size));
    }
    b->used += more;
    return b->bytes + b->used - more;
}

/* The length and header of a reply whose record has body_size bytes; returns where the record goes. */
static unsigned char *reply(struct buffer *out, uint32_t xid, int64_t zxid, int32_t error, size_t body_size) {
    unsigned char *p = grow(out, 4 + HEADER_SIZE + body_size);
    return put32(put64(put32(put32(p, HEADER_SIZE + body_size), xid), zxid), error);
}

static int ends_with(const unsigned char *path, size_t n, const char *end) {
    size_t m = strlen(end);
    return n >= m && !memcmp(path + n - m, end, m);
}

/* Answer one request; 0 when the connection is to be closed after the answer. */
static int answer(struct buffer *out, const unsigned char *request, size_t size) {
    static _Atomic uint32_t sequence;
    uint32_t xid = get32(request);
    int32_t opcode = (int32_t)get32(request + 4);
    const unsigned char *path = request + 12;
    size_t length = size >= 12 ? get32(request + 8) : 0;
    unsigned char *p;

    if (opcode != 11 && opcode != -11 && (size < 12 || length > size - 12)) {
        reply(out, xid, last_zxid, -5, 0);                       /* MARSHALLINGERROR, as a real server */
        return 1;
    }
    switch (opcode) {
    case 4: {                                                     /* getData */
        size_t n = ends_with(path, length, "/big") ? BIG : SMALL;
        p = put32(reply(out, xid, last_zxid, 0, 4 + n + STAT_SIZE), n);
        memcpy(p, big_data, n);
        memcpy(p + n, stat_record, STAT_SIZE);
        put32(p + n + 52, n);
        return 1;
    }
    case 8: case 12: {                                            /* getChildren, getChildren2 */
        size_t n = ends_with(path, length, "/kids") ? kids_size : 4, more = opcode == 12 ? STAT_SIZE : 0;
        p = reply(out, xid, last_zxid, 0, n + more);
        if (n == 4) put32(p, 0); else memcpy(p, kids_record, n);
        memcpy(p + n, stat_record, more);
        return 1;
    }
    case 1: case 15: case 19: case 21: {                          /* create and its forms */
        size_t flags_at = size - (opcode == 21 ? 12 : 4), more = opcode == 1 ? 0 : STAT_SIZE;
        int sequential = size >= 28 && (get32(request + flags_at) & 2) && opcode != 19;
        size_t n = length + (sequential ? 10 : 0);
        p = put32(reply(out, xid, ++last_zxid, 0, 4 + n + more), n);
        memcpy(p, path, length);
        if (sequential) {
            char digits[11];
            snprintf(digits, sizeof digits, "%010u", sequence++ % 1000000000u);
            memcpy(p + length, digits, 10);
        }
        memcpy(p + n, stat_record, more);
        return 1;
    }
    case 3:                                                       /* exists */
        memcpy(reply(out, xid, last_zxid, 0, STAT_SIZE), stat_record, STAT_SIZE);
        return 1;
    case 5:                                                       /* setData */
        memcpy(reply(out, xid, ++last_zxid, 0, STAT_SIZE), stat_record, STAT_SIZE);
        return 1;
    case 9:                                                       /* sync */
        memcpy(put32(reply(out, xid, last_zxid, 0, 4 + length), length), path, length);
        return 1;
    case 2: reply(out, xid, ++last_zxid, 0, 0); return 1;         /* delete */
    case 11: reply(out, (uint32_t)-2, last_zxid, 0, 0); return 1; /* ping */
    case -11: reply(out, xid, ++last_zxid, 0, 0); return 0;       /* closeSession */
    default: reply(out, xid, -1, -6, 0); return 1;
    }
}

/* The answer to a four-letter word, which is all that is sent on its connection. */
static void say_srvr(struct buffer *out) {
    static const char said[] =
        "Zookeeper version: 3.9.0-null, built on 1970-01-01 00:00 UTC\nLatency min/avg/max: 0/0.0/0\nReceived: 0\n"
        "Sent: 0\nConnections: 1\nOutstanding: 0\nZxid: 0x0\nMode: standalone\nNode count: 1\n";
    memcpy(grow(out, sizeof said - 1), said, sizeof said - 1);
}

/* The first frame: ConnectRequest in, ConnectResponse out (with the read-only byte if the request had it). */
static int welcome(struct buffer *out, const unsigned char *request, size_t size) {
    if (size < 28) return 0;
    int byte = size >= 28 + (get32(request + 24) == (uint32_t)-1 ? 0 : get32(request + 24)) + 1;
    unsigned char *p = put32(grow(out, 4 + 36 + byte), 36 + byte);
    p = put64(put32(put32(p, 0), get32(request + 12)), next_session++);
    memset(put32(p, 16), 7, 16);
    if (byte) p[20] = 0;
    return 1;
}

static int send_all(int fd, struct buffer *out) {
    for (size_t done = 0; done < out->used;) {
        ssize_t n = send(fd, out->bytes + done, out->used - done, MSG_NOSIGNAL);
        if (n <= 0) return 0;
        done += n;
    }
    out->used = 0;
    return 1;
}

static void *converse(void *argument) {
    int fd = (int)(intptr_t)argument, open = 1, connected = 0;
    struct buffer in = {0}, out = {0};
    while (open) {
        unsigned char *space = grow(&in, READ_SIZE);
        ssize_t got = recv(fd, space, READ_SIZE, 0);
        if (got <= 0) break;
        in.used += got - READ_SIZE;
        size_t at = 0;
        while (open && in.used - at >= 4) {
            size_t size = get32(in.bytes + at);
            if (!connected && !memcmp(in.bytes + at, "srvr", 4)) { say_srvr(&out); at += 4; open = 0; break; }
            if (size < 8 || size > MAX_REQUEST) { open = 0; break; }
            if (in.used - at - 4 < size) break;
            if (connected) open = answer(&out, in.bytes + at + 4, size);
            else open = connected = welcome(&out, in.bytes + at + 4, size);
            at += 4 + size;
            if (out.used >= SEND_AT && !send_all(fd, &out)) open = 0;
        }
        memmove(in.bytes, in.bytes + at, in.used - at);
        in.used -= at;
        if (out.used && !send_all(fd, &out)) break;
    }
    close(fd);
    free(in.bytes);
    free(out.bytes);
    return NULL;
}

static void *end_with_stdin(void *unused) {
    char c;
    while (read(0, &c, 1) > 0) {}
    exit(0);
    return unused;
}

static void prepare(void) {
    put64(put64(put64(put64(stat_record, 5), 6), 1700000000000), 1700000000000);
    put32(stat_record + 52, SMALL);
    put64(stat_record + 60, 5);
    big_data = need(malloc(BIG));
    memset(big_data, 'x', BIG);
    kids_size = 4 + (size_t)KIDS * (4 + KID_LENGTH);
    unsigned char *p = kids_record = need(malloc(kids_size + 1));
    p = put32(p, KIDS);
    for (int i = 0; i < KIDS; i++) {
        p = put32(p, KID_LENGTH);
        snprintf((char *)p, KID_LENGTH + 1, "child-%010d", i);
        p += KID_LENGTH;
    }
}

int main(void) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    pthread_t thread;

    signal(SIGPIPE, SIG_IGN);
    prepare();
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)
        || getsockname(listener, (struct sockaddr *)&address, &length)) {
        perror("nullserver");
        return 1;
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    pthread_create(&thread, NULL, end_with_stdin, NULL);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&thread, NULL, converse, (void *)(intptr_t)fd)) close(fd);
        else pthread_detach(thread);
    }
}
