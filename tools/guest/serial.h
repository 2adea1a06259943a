/* COM1, a 16550A; PC16550D data sheet, 8.0 "Registers". */
#ifndef SERIAL_H
#define SERIAL_H

#include <stdbool.h>
#include <stdint.h>

#define COM1 0x3f8
#define SERIAL_DATA (COM1 + 0) /* RBR and THR; DLL while LCR.DLAB */
#define SERIAL_IER (COM1 + 1)  /* DLM while LCR.DLAB */
#define SERIAL_IIR (COM1 + 2)  /* FCR when written */
#define SERIAL_LCR (COM1 + 3)
#define SERIAL_MCR (COM1 + 4)
#define SERIAL_LSR (COM1 + 5)
#define SERIAL_MSR (COM1 + 6)
#define SERIAL_SCR (COM1 + 7)

#define SERIAL_IER_RECEIVED 0x01
#define SERIAL_IER_EMPTY 0x02
#define SERIAL_IIR_NONE 0x01
#define SERIAL_IIR_CAUSE 0x0f
#define SERIAL_IIR_MODEM 0x00
#define SERIAL_IIR_EMPTY 0x02
#define SERIAL_IIR_RECEIVED 0x04
#define SERIAL_IIR_LINE 0x06
#define SERIAL_IIR_TIMEOUT 0x0c
#define SERIAL_FCR_ENABLE 0x01
#define SERIAL_FCR_CLEAR 0x06
#define SERIAL_LCR_8N1 0x03
#define SERIAL_LCR_DLAB 0x80
#define SERIAL_MCR_DTR_RTS_OUT2 0x0b
#define SERIAL_MCR_LOOP 0x10
#define SERIAL_LSR_READY 0x01
#define SERIAL_LSR_EMPTY 0x20
#define SERIAL_LSR_IDLE 0x40

#define SERIAL_FIFO 16

/* Sets 115200 baud, 8N1, FIFOs on; output is polled. */
void serial_init(void);
void serial_put(char byte);
/* Sends what `serial_put` gets to `put` instead of the port; null undoes it. */
void serial_divert(void (*put)(char byte));
/* Back to polled output; what a diversion still holds must be sent first. */
void serial_poll(void);

#endif
