/* Wine before 8.12 has no bcryptprimitives.dll, whose ProcessPrng the standard library of Rust takes its random numbers
   from. The same numbers by the call that every Windows has (SystemFunction036 is RtlGenRandom). */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID bytes, ULONG length);

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length)
{
    while (length > 0) {
        ULONG some = length > 65536 ? 65536 : (ULONG)length;
        if (!SystemFunction036(bytes, some))
            return FALSE;
        bytes += some;
        length -= some;
    }
    return TRUE;
}
