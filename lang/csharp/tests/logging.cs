// What the stock library uses of Microsoft.Extensions.Logging, which is no part of Mono: it says nothing.
namespace Microsoft.Extensions.Logging
{
    public interface ILogger
    {
    }

    public interface ILogger<T> : ILogger
    {
    }

    public interface ILoggerFactory
    {
    }

    public static class LoggerExtensions
    {
        public static ILogger CreateLogger(this ILoggerFactory factory, string name) => null;

        public static ILogger<T> CreateLogger<T>(this ILoggerFactory factory) => null;

        public static void LogError(this ILogger logger, string text, params object[] args)
        {
        }

        public static void LogInformation(this ILogger logger, string text, params object[] args)
        {
        }

        public static void LogDebug(this ILogger logger, string text, params object[] args)
        {
        }

        public static void LogWarning(this ILogger logger, string text, params object[] args)
        {
        }

        public static void LogCritical(this ILogger logger, string text, params object[] args)
        {
        }

        public static void LogTrace(this ILogger logger, string text, params object[] args)
        {
        }
    }
}
