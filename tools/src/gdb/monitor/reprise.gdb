# gdb's side of Reprise's monitor: 'monitor gdb-script' prints this.

# A command of the monitor may have moved the machine, and gdb remembers registers and memory.
define hookpost-monitor
  maintenance flush register-cache
  maintenance flush dcache
end

define when
  monitor when
end
document when
Say where the machine is in its run.
end

define seek
  if $argc == 1
    monitor seek $arg0
  end
  if $argc == 2
    monitor seek $arg0 $arg1
  end
  if $argc != 1 && $argc != 2
    monitor help seek
  else
    frame
  end
end
document seek
Go to a position: a tick, a time (2s), +TICKS, -TICKS, N%, icount N, start, end, next EVENT, last EVENT.
'monitor help seek' tells more.
end

define last-write
  eval "monitor last-write 0x%lx,%lu", (unsigned long) &($arg0), (unsigned long) sizeof($arg0)
end
document last-write
Say who wrote to a variable last: last-write EXPRESSION, without spaces.
end
