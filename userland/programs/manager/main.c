/* Takes orders to write processes down and to make them again; started by the kernel's embedding when it needs one. */

#include "manager.h"

int main(int argc, char **argv)
{
    fluke_ref_t *orders = fluke_service("orders");

    (void)argc;
    if (orders == NULL) {
        printf("%s: nobody gives orders here\n", argv[0]);
        return 1;
    }
    return serve_orders(orders);
}
