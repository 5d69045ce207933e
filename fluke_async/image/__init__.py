"""
Images: all that a process is, as data that can be stored, looked at and compared.

`manifest`    what an image says: objects, mappings, names of what lies outside, devices
`kinds`       the types of objects: the words of their states and what their links may lead to
`image`       the handle: a manifest with its pages, and the images that it builds on
`builder`     how an image is made, a few pages at a time
`records`     from and to the records of `userland/include/checkpoint.h`
`container`   the bytes of a file
`file`        writing it whole or not at all, and reading it
`difference`  what two images do not have in common
`checks`      what must hold before anything of an image is used

Pure data: no kernel, no event loop. The format is described in README.md beside this.
"""
