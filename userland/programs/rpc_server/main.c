/* Threads serve objects, each behind a port of its own, to clients in other spaces: rpc_server [CLIENTS] [REQUESTS]. */

/*
 * The objects are counters. Who opens one gets a reference to a port that is made for it; whoever has the reference can
 * use the counter, and nobody else. All ports are in one port set, where a pool of threads waits; the alias of the port
 * says which object is meant. Closing a counter destroys its port, and references to that are references to nothing.
 *
 * Requests may come twice, for the kernel may issue a call again. So a counter knows the number of the last addition
 * and of its client, and does neither again.
 *
 * Who opens a counter shows a reference to its own thread. When that is gone, so is the client, and the counter is
 * taken back. Among the clients is one that is destroyed in the middle of a call, and one that shows what it should not.
 */

#include "rpc_server.h"

enum { MOST_REQUESTS = 1000, MOST_FOUND = 16 };

extern char fluke_data_start[]; /* from the program's layout */

static struct fluke_cell cells[MOST_CLIENTS];
static struct client *clients[MOST_CLIENTS];
static uint64_t client_count; /* that there have been */
static fluke_ref_t directory;

static void fail(const char *what)
{
    puts(what);
    exit(1);
}

/* -- Clients ------------------------------------------------------------------------------------------------------- */

/* Makes a client in a space of its own, which begins to run. */
static void start_client(unsigned place, void (*function)(void *), uint64_t requests)
{
    struct client *client = fluke_cell_open(&cells[place], sizeof *client);

    if (client == NULL || fluke_ref_create(&client->directory) != FLUKE_SUCCESS
        || fluke_ref_create(&client->owner) != FLUKE_SUCCESS || fluke_ref_create(&client->counter) != FLUKE_SUCCESS)
        fail("not enough memory for the clients");
    fluke_ref_copy(&directory, &client->directory);
    client->id = ++client_count;
    client->requests = requests;
    clients[place] = client;
    fluke_cell_start(&cells[place], function);
}

static void end_client(unsigned place)
{
    fluke_cell_stop(&cells[place]);
    fluke_ref_destroy(&clients[place]->directory);
    fluke_ref_destroy(&clients[place]->owner);
    fluke_ref_destroy(&clients[place]->counter);
    fluke_cell_close(&cells[place]);
}

/* Waits for clients that count, and ends them; true if each counter came to what it had to. */
static bool take_counts(unsigned count)
{
    bool right = true;

    for (unsigned place = 0; place < count; place++) {
        struct client *client = clients[place];
        uint64_t mistake = fluke_cell_wait(&cells[place]), expected = client->requests * (client->requests + 1) / 2;
        bool is_whole = mistake == 0 && client->is_opened && client->is_closed && client->sum == expected;

        printf("client %lu: the sum of 1 to %lu is %lu, its counter is %s\n", client->id, client->requests,
               client->sum, client->is_closed ? "closed" : "open");
        right &= is_whole;
        end_client(place);
    }
    return right;
}

static bool count_with(unsigned count, uint64_t requests)
{
    for (unsigned place = 0; place < count; place++)
        start_client(place, count_up, requests);
    return take_counts(count);
}

/* A client goes in the middle of its call: the server's answer is for nobody. */
static bool lose_client(void)
{
    start_client(0, vanish, 0);
    wait_held();
    bool right = clients[0]->is_opened && clients[0]->refused == 0;
    printf("client %lu is destroyed in the middle of its call\n", clients[0]->id);
    end_client(0);
    let_go();
    return right;
}

static bool refuse_client(void)
{
    start_client(0, cheat, 0);
    uint64_t mistake = fluke_cell_wait(&cells[0]), refused = clients[0]->refused;
    printf("client %lu is refused %lu references, and stopped by a mistake of its own: %s\n", clients[0]->id, refused,
           mistake == FLUKE_INSANITY_NO_OBJECT ? "there was none" : "another than it should be");
    end_client(0);
    return refused == 3 && mistake == FLUKE_INSANITY_NO_OBJECT;
}

/* -- All that there is --------------------------------------------------------------------------------------------- */

/* Counts the objects in the program's variables and its heap, as the kernel knows them. */
static uint64_t count_objects(void)
{
    static fluke_region_t region;
    static struct fluke_obspec found[MOST_FOUND];
    const struct fluke_region_state all = {.start_va = (uintptr_t)fluke_data_start,
                                           .size = fluke_start_block->heap_end - (uintptr_t)fluke_data_start,
                                           .prot = FLUKE_PROT_READ};
    uint64_t count = 0;

    if (fluke_region_create(&region) != FLUKE_SUCCESS)
        fail("not enough memory to count the objects");
    fluke_region_set_state(&region, &all, fluke_start_block->space_ref, NULL);
    for (uint64_t offset = 0; offset < all.size;) {
        uint64_t room = MOST_FOUND;
        fluke_region_search(&region, &offset, all.size - offset, found, &room);
        count += MOST_FOUND - room;
    }
    fluke_region_destroy(&region);
    return count;
}

int main(int argc, char **argv)
{
    long count = 4, requests = 10;

    if (argc > 3 || (argc > 1 && !fluke_number(argv[1], 1, MOST_CLIENTS, &count))
        || (argc > 2 && !fluke_number(argv[2], 0, MOST_REQUESTS, &requests))) {
        printf("usage: rpc_server [CLIENTS] [REQUESTS], from 1 to %d clients of at most %d requests\n", MOST_CLIENTS,
               MOST_REQUESTS);
        return 2;
    }
    uint64_t before = count_objects();
    if (!open_server(&directory))
        fail("not enough memory for the server");
    bool right = count_with((unsigned)count, (uint64_t)requests);
    right &= lose_client();
    right &= refuse_client();
    right &= count_with(1, (uint64_t)requests);
    struct tally tally = close_server(&directory);
    printf("%u counters were opened, %u closed, and %u taken back from who was gone\n", tally.opened, tally.closed,
           tally.taken_back);
    uint64_t left = count_objects() - before;
    printf("%lu objects are left, and %zu bytes\n", left, fluke_heap_in_use());
    return right && tally.opened == tally.closed + tally.taken_back && left == 0 && fluke_heap_in_use() == 0 ? 0 : 1;
}
