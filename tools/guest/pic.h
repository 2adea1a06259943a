/* The two 8259A interrupt controllers; Intel 8259A data sheet, "Programming the 8259A". */
#ifndef PIC_H
#define PIC_H

#include <stdint.h>

/* Remaps IRQ 0-15 to vectors 0x20-0x2f, all masked but the cascade. */
void pic_init(void);
void pic_mask(unsigned irq);
void pic_unmask(unsigned irq);
/* The two mask registers, IRQ 0 in bit 0; for setting them aside. */
uint16_t pic_masks(void);
void pic_set_masks(uint16_t masks);
/* End of interrupt. */
void pic_end(unsigned irq);

#endif
