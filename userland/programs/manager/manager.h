/* What the parts of the manager know of each other. */

#ifndef MANAGER_H
#define MANAGER_H

#include <checkpoint.h>

/* Does what it is told at this port, for ever; returns a status for the end of the program if it cannot. */
int serve_orders(fluke_ref_t *orders);

#endif
