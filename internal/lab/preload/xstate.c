/*
 * Linux takes a process's extended registers (NT_X86_XSTATE) as a whole only,
 * in the size that they have on its processor. User-Mode Linux 6.1 knows the
 * registers up to AVX-512 and hands over those; where there are more (AMX), that
 * fails with EFAULT, and the guest ends with its first process. So they are put
 * over what the process has, and the whole is handed over.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

long ptrace(enum __ptrace_request request, ...)
{
	static long (*next)(enum __ptrace_request, ...);
	static char whole[1 << 16];
	va_list args;

	va_start(args, request);
	void *pid = va_arg(args, void *), *addr = va_arg(args, void *), *data = va_arg(args, void *);
	va_end(args);
	if (!next)
		next = dlsym(RTLD_NEXT, "ptrace");
	if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE) {
		struct iovec *part = data, all = {whole, sizeof whole};

		if (next(PTRACE_GETREGSET, pid, addr, &all) == 0 && all.iov_len > part->iov_len) {
			memcpy(whole, part->iov_base, part->iov_len);
			return next(request, pid, addr, &all);
		}
	}
	return next(request, pid, addr, data);
}
