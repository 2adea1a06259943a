// A driver with a bug, for tools/GDB.md to find: it goes on using memory that it has freed.
//
// It keeps parcels, each with a seal over its number and weight, and has a scale, which moves for a while after it was
// switched on. /proc/parcels takes commands:
//
//   scale on         makes a scale; it moves every 40 ms until it has settled
//   scale off        takes the scale away
//   parcel N GRAMS   takes a parcel in
//   check            looks at all seals, and complains of broken ones

#include <linux/list.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/uaccess.h>

struct parcel {
	struct list_head shelf;
	u64 number;
	u64 grams;
	u64 seal;
	char address[192];
};

struct scale {
	u64 capacity;
	u64 zero;
	u64 unit;
	u64 shown;
	u64 history[24];
};

struct settling {
	struct timer_list timer;
	struct scale *scale;
	int moves;
};

static LIST_HEAD(shelf);
static struct scale *scale;
static struct settling settling;

static noinline void settle(struct timer_list *timer)
{
	settling.scale->shown += 7;
	if (--settling.moves)
		mod_timer(timer, jiffies + msecs_to_jiffies(40));
}

static noinline int switch_on(void)
{
	scale = kzalloc(sizeof(*scale), GFP_KERNEL);
	if (!scale)
		return -ENOMEM;
	settling.scale = scale;
	settling.moves = 3;
	mod_timer(&settling.timer, jiffies + msecs_to_jiffies(40));
	return 0;
}

/* The bug: the timer may still be running. */
static noinline int switch_off(void)
{
	kfree(scale);
	scale = NULL;
	return 0;
}

static u64 seal(const struct parcel *parcel)
{
	return (parcel->number << 32 | parcel->grams) ^ 0x5ea1ed5ea1ed5ea1;
}

static noinline int take_in(u64 number, u64 grams)
{
	struct parcel *parcel = kzalloc(sizeof(*parcel), GFP_KERNEL);

	if (!parcel)
		return -ENOMEM;
	parcel->number = number;
	parcel->grams = grams;
	parcel->seal = seal(parcel);
	list_add_tail(&parcel->shelf, &shelf);
	return 0;
}

static noinline void complain(const struct parcel *parcel)
{
	pr_err("parcels: the seal of parcel %llu is broken, it weighs %llu g\n", parcel->number, parcel->grams);
}

static int check(void)
{
	const struct parcel *parcel;

	list_for_each_entry(parcel, &shelf, shelf)
		if (parcel->seal != seal(parcel))
			complain(parcel);
	return 0;
}

static int obey(const char *command)
{
	u64 number, grams;

	if (!strcmp(command, "scale on"))
		return switch_on();
	if (!strcmp(command, "scale off"))
		return switch_off();
	if (!strcmp(command, "check"))
		return check();
	if (sscanf(command, "parcel %llu %llu", &number, &grams) == 2)
		return take_in(number, grams);
	return -EINVAL;
}

static ssize_t parcels_write(struct file *file, const char __user *from, size_t count, loff_t *position)
{
	char command[64] = "";
	int error;

	if (count >= sizeof(command))
		return -EINVAL;
	if (copy_from_user(command, from, count))
		return -EFAULT;
	error = obey(strim(command));
	return error ? error : count;
}

static const struct proc_ops parcels_ops = { .proc_write = parcels_write };

static int __init parcels_init(void)
{
	timer_setup(&settling.timer, settle, 0);
	return proc_create("parcels", 0200, NULL, &parcels_ops) ? 0 : -ENOMEM;
}

module_init(parcels_init);
MODULE_DESCRIPTION("A driver that uses freed memory");
MODULE_LICENSE("Dual MIT/GPL");
