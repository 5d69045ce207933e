/* What the parts of the program share: what clients may ask, clients as the program sees them, and the server. */

#ifndef RPC_SERVER_H
#define RPC_SERVER_H

#include <cells.h>

enum { MOST_CLIENTS = 16 };

/* Word 0 of a request, and what follows it; word 0 of a reply is a verdict. OPEN goes to the directory's port. */
enum {
    OPEN,  /* client, with a reference to the client's thread -> a reference to its counter's port */
    ADD,   /* number, amount -> sum */
    HOLD,  /* no reply before `let_go` */
    CLOSE, /* whose reply comes from a port that is gone */
};
enum { DONE, BAD_REQUEST, BAD_REFERENCE, TOO_MANY };
enum { REQUEST_WORDS = 3, REPLY_WORDS = 2 };

/* A client's memory: what the program gives it, and what it has found. */
struct client {
    uint64_t id, requests;
    fluke_ref_t directory, owner, counter; /* to the directory, to its thread, and to its counter */
    uint64_t sum, refused; /* calls */
    bool is_opened, is_closed;
};

/* What clients do; each is the function of a cell. */
void count_up(void *client);
void vanish(void *client);
void cheat(void *client);

/* How many counters were opened, closed by their clients, and taken back from clients that were gone. */
struct tally {
    unsigned opened, closed, taken_back;
};

/* Makes the directory and the threads that serve it; false if there is no memory. */
bool open_server(fluke_ref_t *directory);
struct tally close_server(fluke_ref_t *directory);

/* Waits until a server is in the middle of a call that asks to be held; lets it go on, and waits until it has. */
void wait_held(void);
void let_go(void);

#endif
