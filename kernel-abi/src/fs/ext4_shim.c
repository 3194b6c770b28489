/*
 * mkfs.ext4 on libext2fs: what mke2fs -t ext4 does, with every choice passed in and no configuration file read.
 * Order and values follow e2fsprogs misc/mke2fs.c (PRS, main, write_inode_tables, create_lost_and_found).
 *
 * Deliberately absent: discard. libext2fs sends none by itself; zeroes are written by ext2fs_zero_blocks2
 * (FALLOC_FL_ZERO_RANGE, which block/fops.c turns into write-zeroes without unmap).
 */
#include <stdint.h>
#include <string.h>
#include <et/com_err.h>
#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

/* Mirrors `Request` in ext4/shim.rs. */
struct mdfabric_ext4_request {
	uint64_t blocks;
	uint64_t now;
	uint32_t stride_blocks;
	uint32_t stripe_width_blocks;
	uint32_t bytes_per_inode;
	uint32_t reserved_percent;
	uint8_t uuid[16];
	uint8_t hash_seed[16];
	uint8_t label[16];
	uint8_t lazy;
	uint8_t known_zero;
	uint8_t csum_seed;
	uint8_t pad[5];
};

enum { BLOCK_SIZE = 4096, LOG_BLOCK_SIZE = 2, INODE_SIZE = 256, LOST_AND_FOUND_BYTES = 16384, WIPED_BYTES = 65536 };

/* Calls `function args` and, when it fails, leaves with its name in *step. */
#define TRY(function, args) do { err = function args; if (err) { *step = #function; return err; } } while (0)

static void choose(struct ext2_super_block *p, const struct mdfabric_ext4_request *r)
{
	uint64_t inodes = r->blocks * BLOCK_SIZE / r->bytes_per_inode;

	memset(p, 0, sizeof *p);
	p->s_rev_level = EXT2_DYNAMIC_REV;
	p->s_log_block_size = p->s_log_cluster_size = LOG_BLOCK_SIZE;
	ext2fs_blocks_count_set(p, r->blocks);
	ext2fs_r_blocks_count_set(p, r->blocks * r->reserved_percent / 100);
	ext2fs_set_feature_journal(p);
	ext2fs_set_feature_xattr(p);
	if (r->blocks <= UINT32_MAX) /* the reserved descriptors are addressed with 32 bits */
		ext2fs_set_feature_resize_inode(p);
	ext2fs_set_feature_dir_index(p);
	ext2fs_set_feature_filetype(p);
	ext2fs_set_feature_extents(p);
	ext2fs_set_feature_64bit(p);
	ext2fs_set_feature_flex_bg(p);
	ext2fs_set_feature_sparse_super(p);
	ext2fs_set_feature_large_file(p);
	ext2fs_set_feature_huge_file(p);
	ext2fs_set_feature_dir_nlink(p);
	ext2fs_set_feature_extra_isize(p);
	ext2fs_set_feature_metadata_csum(p);
	if (r->csum_seed)
		ext2fs_set_feature_csum_seed(p);
	p->s_log_groups_per_flex = 4;
	p->s_inode_size = INODE_SIZE;
	p->s_desc_size = EXT2_MIN_DESC_SIZE_64BIT;
	p->s_min_extra_isize = p->s_want_extra_isize = sizeof(struct ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
	p->s_inodes_count = inodes > UINT32_MAX ? UINT32_MAX : (uint32_t)inodes;
	p->s_raid_stride = (uint16_t)r->stride_blocks;
	p->s_raid_stripe_width = r->stripe_width_blocks;
	p->s_default_mount_opts = EXT2_DEFM_XATTR_USER | EXT2_DEFM_ACL;
	p->s_mkfs_time = (uint32_t)r->now;
}

static void identify(ext2_filsys fs, const struct mdfabric_ext4_request *r)
{
	struct ext2_super_block *s = fs->super;

	fs->now = (time_t)r->now;
	fs->stride = s->s_raid_stride;
	memcpy(s->s_uuid, r->uuid, sizeof r->uuid);
	memcpy(s->s_hash_seed, r->hash_seed, sizeof r->hash_seed);
	memcpy(s->s_volume_name, r->label, sizeof r->label);
	s->s_checksum_type = EXT2_CRC32C_CHKSUM;
	if (r->csum_seed)
		s->s_checksum_seed = ext2fs_crc32c_le(~0U, s->s_uuid, sizeof s->s_uuid);
	ext2fs_init_csum_seed(fs);
	s->s_def_hash_version = EXT2_HASH_HALF_MD4;
	s->s_flags |= EXT2_FLAGS_SIGNED_HASH;
	s->s_max_mnt_count = -1; /* never check because of a mount count or of age */
	s->s_checkinterval = 0;
}

/* Takes away what was recognisable before, durably: a format that is cut short leaves nothing that mounts. */
static errcode_t wipe(ext2_filsys fs, const char **step)
{
	static const char zeros[WIPED_BYTES];
	errcode_t err;

	TRY(io_channel_write_blk64, (fs->io, 0, WIPED_BYTES / BLOCK_SIZE, zeros));
	TRY(io_channel_flush, (fs->io));
	return 0;
}

static errcode_t zero_inode_table(ext2_filsys fs, dgrp_t group, const char **step)
{
	errcode_t err;

	TRY(ext2fs_zero_blocks2, (fs, ext2fs_inode_table_loc(fs, group), (int)fs->inode_blocks_per_group, NULL, NULL));
	ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
	return 0;
}

static errcode_t lay_tables(ext2_filsys fs, const struct mdfabric_ext4_request *r, const char **step)
{
	errcode_t err;

	TRY(ext2fs_allocate_tables, (fs));
	TRY(ext2fs_convert_subcluster_bitmap, (fs, &fs->block_map));
	for (dgrp_t group = 0; group < fs->group_desc_count; group++) {
		ext2fs_bg_flags_clear(fs, group, EXT2_BG_INODE_ZEROED);
		if (r->known_zero)
			ext2fs_bg_flags_set(fs, group, EXT2_BG_INODE_ZEROED);
		else if (!r->lazy || group == 0) /* inodes of the first group are written below */
			TRY(zero_inode_table, (fs, group, step));
		ext2fs_group_desc_csum_set(fs, group);
	}
	return 0;
}

static errcode_t make_directories(ext2_filsys fs, const char **step)
{
	ext2_ino_t found;
	errcode_t err;

	TRY(ext2fs_mkdir, (fs, EXT2_ROOT_INO, EXT2_ROOT_INO, NULL));
	fs->umask = 077;
	TRY(ext2fs_mkdir, (fs, EXT2_ROOT_INO, 0, "lost+found"));
	TRY(ext2fs_lookup, (fs, EXT2_ROOT_INO, "lost+found", 10, NULL, &found));
	for (int have = BLOCK_SIZE; have < LOST_AND_FOUND_BYTES; have += BLOCK_SIZE)
		TRY(ext2fs_expand_dir, (fs, found));
	return 0;
}

static errcode_t reserve_inodes(ext2_filsys fs, const char **step)
{
	errcode_t err;

	for (ext2_ino_t i = EXT2_ROOT_INO + 1; i < EXT2_FIRST_INODE(fs->super); i++)
		ext2fs_inode_alloc_stats2(fs, i, +1, 0);
	ext2fs_mark_inode_bitmap2(fs->inode_map, EXT2_BAD_INO);
	ext2fs_inode_alloc_stats2(fs, EXT2_BAD_INO, +1, 0);
	ext2fs_mark_ib_dirty(fs);
	TRY(ext2fs_update_bb_inode, (fs, NULL));
	if (ext2fs_has_feature_resize_inode(fs->super))
		TRY(ext2fs_create_resize_inode, (fs));
	return 0;
}

static errcode_t make_journal(ext2_filsys fs, const struct mdfabric_ext4_request *r, const char **step)
{
	struct ext2fs_journal_params size;
	errcode_t err;

	TRY(ext2fs_get_journal_params, (&size, fs));
	TRY(ext2fs_add_journal_inode3, (fs, &size, ~0ULL, r->known_zero ? EXT2_MKJOURNAL_LAZYINIT : 0));
	return 0;
}

static errcode_t fill(ext2_filsys fs, const struct mdfabric_ext4_request *r, const char **step)
{
	errcode_t err;

	identify(fs, r);
	TRY(wipe, (fs, step));
	TRY(lay_tables, (fs, r, step));
	TRY(make_directories, (fs, step));
	TRY(reserve_inodes, (fs, step));
	TRY(make_journal, (fs, r, step));
	TRY(ext2fs_set_gdt_csum, (fs));
	return 0;
}

/*
 * Makes an ext4 file system on `device`. Returns 0, an errno or a libext2fs code, and then the step that failed.
 * Not reentrant: ext2fs_zero_blocks2 keeps a static buffer.
 */
long mdfabric_ext4_format(const char *device, const struct mdfabric_ext4_request *r, const char **step)
{
	struct ext2_super_block choice;
	ext2_filsys fs = NULL;
	errcode_t err;

	*step = "";
	choose(&choice, r);
	TRY(ext2fs_initialize, (device, EXT2_FLAG_64BITS | EXT2_FLAG_EXCLUSIVE, &choice, unix_io_manager, &fs));
	err = fill(fs, r, step);
	ext2fs_zero_blocks2(NULL, 0, 0, NULL, NULL); /* frees its static buffer */
	if (err) {
		ext2fs_free(fs);
		return err;
	}
	/* The superblock is written last, after a flush: lib/ext2fs/closefs.c, ext2fs_flush2. */
	err = ext2fs_close(fs);
	if (err) {
		*step = "ext2fs_close";
		ext2fs_free(fs);
	}
	return err;
}

/* The library's text for a code, in a static buffer for unknown ones. */
const char *mdfabric_ext4_message(long code)
{
	initialize_ext2_error_table();
	return error_message(code);
}
