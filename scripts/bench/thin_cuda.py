"""Make a library with CUDA code smaller for a journey to one kind of GPU.

The section .nv_fatbin of an ELF file holds bundles of machine code, each with an
entry for every architecture that the code was compiled for. Of each bundle the entry
of one architecture stays, as if nothing else had been compiled, and zeros follow in
the place of the others, which are packed to nothing. No bundle moves. One that was
compiled for that architecture alone gets the smallest entry that there is instead of
its own: in ONNX Runtime's CUDA provider these are matrix products for mixtures of
experts, which no network here has, and which fail if one should ask for them. On
other GPUs the library is of no use.

Usage: thin_cuda.py LIBRARY OUT --arch 90
"""

import argparse
import struct

MAGIC = 0xBA55ED50  # of a bundle
ELF = 2  # type of an entry: machine code


def section(data, wanted):
    """Offset and size of a section of a 64-bit little-endian ELF file."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise SystemExit("not a 64-bit ELF file")
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    header = lambda i: struct.unpack_from("<IIQQQQIIQQ", data, table + i * size)
    strings = header(names)[4]
    for i in range(count):
        name, _, _, _, offset, length, *_ = header(i)
        start = strings + name
        if data[start:data.index(b"\0", start)] == wanted:
            return offset, length
    raise SystemExit(f"no section {wanted.decode()}")


def bundles(data, offset, length):
    """For each bundle where it begins, its header's size, and its entries.

    An entry is (kind, architecture, where it begins, its size with its header).
    """
    at, end = offset, offset + length
    while at < end:
        magic, _, head, size = struct.unpack_from("<IHHQ", data, at)
        if magic != MAGIC:
            raise SystemExit(f"no bundle at {at:#x}: this library is laid out in another way")
        entries, entry, stop = [], at + head, at + head + size
        while entry < stop:
            kind, _, own, code = struct.unpack_from("<HHIQ", data, entry)
            (arch,) = struct.unpack_from("<I", data, entry + 28)
            entries.append((kind, arch, entry, own + code))
            entry += own + code
        if entry != stop:
            raise SystemExit(f"an entry of the bundle at {at:#x} is longer than the bundle")
        yield at, head, entries
        at = (stop + 7) // 8 * 8


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("library")
    p.add_argument("out")
    p.add_argument("--arch", type=int, required=True, help="such as 90 for H100 and H200")
    args = p.parse_args()
    with open(args.library, "rb") as f:
        data = bytearray(f.read())
    all_bundles = list(bundles(data, *section(data, b".nv_fatbin")))
    own = lambda entries: [(size, at) for kind, arch, at, size in entries if (kind, arch) == (ELF, args.arch)]
    sizes = [entry for _, _, entries in all_bundles for entry in own(entries)]
    if not sizes:
        raise SystemExit(f"{args.library} has no code for architecture {args.arch}")
    size, at = min(sizes)
    smallest = bytes(data[at:at + size])
    kept = alone = 0
    for at, head, entries in all_bundles:
        stay, total = b"", sum(size for *_, size in entries)
        if len(entries) == 1 and own(entries):
            stay, alone = smallest, alone + 1
        elif own(entries):
            size, begin = own(entries)[0]
            stay, kept = bytes(data[begin:begin + size]), kept + 1
        struct.pack_into("<Q", data, at + 8, len(stay))
        data[at + head:at + head + total] = stay + bytes(total - len(stay))
    with open(args.out, "wb") as f:
        f.write(data)
    print(f"{len(all_bundles)} bundles: {kept} with their code for architecture {args.arch}, {alone} that had no other left out")


if __name__ == "__main__":
    main()
