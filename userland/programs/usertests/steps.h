/* A trial of a call on a connection: the thread that makes it, and a peer that answers so many of its steps. */

#ifndef STEPS_H
#define STEPS_H

#include "usertests.h"

/* The roles of registers in a message. */
enum {
    SEND_BUFFER = 11, SEND_WORDS = 12, RECEIVE_BUFFER = 13, RECEIVE_WORDS = 14, SEND_REFS = 15, RECEIVE_REFS = 16,
    SEND_REF_COUNT = 5, RECEIVE_REF_COUNT = 6,
};
enum { SEND = 's', OVER = 'o', ACK = 'a', RECEIVE = 'r', CONNECT = 'c' };

enum { MOST_STEPS = 5 };

struct trial {
    const struct entry_point *call;
    const char *name, *how;
    char steps[MOST_STEPS]; /* from the call's name */
    unsigned count;
    bool is_client, waits;       /* for the next message, behind the steps */
    struct registers registers;  /* of the call */
    bool is_linked, is_sender;   /* when it is made */
    unsigned served;             /* so many steps are answered by the peer, which then leaves */
    uint64_t peer_sends_words;   /* where it sends; if none, a reference */
    struct worker *end, *peer;
};
extern struct trial trial;
extern struct service trial_service;
extern fluke_mutex_t trial_gate; /* both ends lock it before they begin */
extern fluke_ref_t taken_ref;

/* Does something for each call that has steps. */
void for_each_call(void (*body)(void));
bool has_step(char step);
uint64_t status_without_peer(char step);

/* Good registers, a word to be sent and room for one; then the trial, and what it comes to. */
void set_trial(void);
void begin_trial(void);
void finish_trial(void);
void expect_status(uint64_t status);
void expect_mistake(uint64_t code);

#endif
