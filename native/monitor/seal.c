/* The checksum that lines and documents of ours end with: nothing else can tell that a bit of them has flipped.
 * The reader, and what it does about damage: pyrun/store/sealed_lines.py. */
#include <stdio.h>

#include "monitor.h"

/* CRC-32 as zlib has it.  Bit by bit: what is sealed is short, and a table would cost every monitor a page. */
uint32_t seal_add(uint32_t crc, const char *data, size_t size)
{
	crc = ~crc;
	for (size_t i = 0; i < size; i++) {
		crc ^= (unsigned char)data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

size_t seal_end(char to[static SEAL_BYTES], uint32_t crc)
{
	return (size_t)snprintf(to, SEAL_BYTES, ",\"crc32\":\"%08x\"}\n", crc);
}
