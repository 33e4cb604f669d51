/* The directories of node.c that are open: a bounded number of them at a time. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { OPEN_NODES = 192 };

static struct {
    struct node *node;
    int fd;
} open_nodes[OPEN_NODES + 1];      /* the first is the root's */
static size_t open_next = 1;

void node_open_root(int fd)
{
    open_nodes[0].fd = fd;
}

void node_close(struct node *node)
{
    if (node->slot != 0) {
        close(open_nodes[node->slot].fd);
        open_nodes[node->slot].node = NULL;
        node->slot = 0;
    }
}

static void remember_open(struct node *node, int fd)
{
    do {
        open_next = open_next % OPEN_NODES + 1;
    } while (open_nodes[open_next].node != NULL && open_nodes[open_next].node->pinned);
    if (open_nodes[open_next].node != NULL) {
        node_close(open_nodes[open_next].node);
    }
    open_nodes[open_next].node = node;
    open_nodes[open_next].fd = fd;
    node->slot = (uint16_t)open_next;
}

int node_try_fd(struct node *node)
{
    int parent_fd, fd;

    if (node->slot != 0 || node->parent == NO_NODE) {
        return open_nodes[node->slot].fd;
    }
    parent_fd = node_try_fd(node_parent(node));
    if (parent_fd < 0) {
        return -1;
    }
    fd = openat(parent_fd, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) {
        remember_open(node, fd);
    }
    return fd;
}

int node_fd(struct node *node)
{
    int fd = node_try_fd(node);

    if (fd < 0) {
        fail_errno("openat", errno);
    }
    return fd;
}
