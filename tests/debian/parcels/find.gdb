# Finds who breaks the seal of a parcel. gdb is connected to the recording, and knows where the driver is: tools/GDB.md.
set pagination off
set confirm off
# The first way to the end takes its time.
set remotetimeout 60

# From the end of the recording back to the complaint.
monitor seek end
maintenance flush register-cache
break complain
reverse-continue
print *parcel
set $parcel = parcel

# Back to who changed the weight last: the scale's timer. What it takes for its scale is the parcel.
watch -location parcel->grams
reverse-continue
backtrace 1
print settling.scale
print (void *) settling.scale == (void *) $parcel
monitor when

# Back to when that memory stopped being the scale.
delete
break switch_off
reverse-continue
print scale
print (void *) scale == (void *) $parcel
list switch_off
