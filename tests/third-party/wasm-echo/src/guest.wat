;; A component with one function: small letters become capitals, in place. Its memory starts anew for each call.
;; Bytes that begin with a zero make it run without end.
(component
  (core module $echo
    (memory (export "memory") 2)
    (global $free (mut i32) (i32.const 1024))

    ;; Hands out memory for arguments; nothing is given back but by "done".
    (func (export "realloc") (param $old i32) (param $held i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $free))
      (global.set $free (i32.add (global.get $free) (local.get $size)))
      (if (i32.gt_u (global.get $free) (i32.const 131072)) (then unreachable))
      (local.get $at))

    ;; The result is a pointer to {pointer, length} of the bytes.
    (func (export "echo") (param $at i32) (param $len i32) (result i32)
      (local $p i32) (local $end i32) (local $c i32)
      (if (i32.and (i32.ne (local.get $len) (i32.const 0)) (i32.eqz (i32.load8_u (local.get $at))))
        (then (loop $spin (br $spin))))
      (local.set $p (local.get $at))
      (local.set $end (i32.add (local.get $at) (local.get $len)))
      (block $stop
        (loop $next
          (br_if $stop (i32.ge_u (local.get $p) (local.get $end)))
          (local.set $c (i32.load8_u (local.get $p)))
          (if (i32.and (i32.ge_u (local.get $c) (i32.const 97)) (i32.le_u (local.get $c) (i32.const 122)))
            (then (i32.store8 (local.get $p) (i32.sub (local.get $c) (i32.const 32)))))
          (local.set $p (i32.add (local.get $p) (i32.const 1)))
          (br $next)))
      (i32.store (i32.const 16) (local.get $at))
      (i32.store (i32.const 20) (local.get $len))
      (i32.const 16))

    (func (export "done") (param i32)
      (global.set $free (i32.const 1024))))

  (core instance $echo (instantiate $echo))
  (func (export "echo") (param "bytes" (list u8)) (result (list u8))
    (canon lift
      (core func $echo "echo")
      (memory (core memory $echo "memory"))
      (realloc (core func $echo "realloc"))
      (post-return (core func $echo "done")))))
