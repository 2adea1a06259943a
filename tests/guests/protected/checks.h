/* The checks of the protected-mode test kernel, by file. */
#ifndef CHECKS_H
#define CHECKS_H

/* check_real.c */
void check_real_mode(void);
void check_real_interrupts(void);
void check_real_faults(void);
void check_real_limits(void);
void check_real_widths(void);

/* check_legacy.c */
void check_decimal(void);
void check_legacy_instructions(void);
void check_legacy_faults(void);

/* check_segments.c */
void check_segment_loads(void);
void check_accessed_bit(void);
void check_limits(void);
void check_segment_types(void);
void check_queries(void);
void check_local_table(void);

/* check_transfers.c */
void check_far_transfers(void);
void check_far_faults(void);
void check_code16(void);
void check_stack16(void);

/* check_rings.c */
void check_ring_switch(void);
void check_call_gates(void);
void check_conforming(void);
void check_ring_faults(void);
void check_io_privilege(void);
void check_alignment(void);
void check_virtual_8086(void);
void check_task_switch(void);

/* check_paging.c */
void check_two_level_paging(void);
void check_pse(void);
void check_pae(void);

#endif
